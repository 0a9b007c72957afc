// Constants of cost/time_model.hpp from rows of results, such as those of cost/h200.hpp:
//   lacuna_fit_time_model bench/results/h200.csv 08198e5 methods-
// takes the rows of that commit whose case begins so.
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "support/time_models.hpp"

namespace {

using namespace lacuna;

std::vector<std::string> cells_of(std::string const& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (char const c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

std::vector<bench::TimedRow> read(char const* path, std::string const& commit, std::string const& case_begins) {
  std::ifstream file(path);
  std::vector<bench::TimedRow> rows;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> const cells = cells_of(line);
    if (cells.size() < 16 || cells[1] != commit || cells[4].rfind(case_begins, 0) != 0) continue;
    if (cells[3] != "prefill" && cells[3] != "decode") continue;
    auto const number = [&](std::size_t at) { return cells[at].empty() ? 0.0 : std::stod(cells[at]); };
    auto const whole = [&](std::size_t at) { return static_cast<std::int64_t>(number(at)); };
    Phase const phase = cells[3] == "prefill" ? Phase::prefill : Phase::decode;
    rows.push_back({cells[2], cells[10], cells[5], phase,
                    Shape{phase == Phase::prefill ? whole(11) : 1, whole(11), whole(7), whole(8), whole(9)}, number(12),
                    number(13), number(14)});
  }
  return rows;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3 || count > 4) return std::fprintf(stderr, "usage: lacuna_fit_time_model CSV COMMIT [CASE]\n"), 1;
  auto const rows = read(arguments[1], arguments[2], count == 4 ? arguments[3] : "");
  bench::print_time_models(stdout, rows);
  return rows.empty() ? 1 : 0;
}

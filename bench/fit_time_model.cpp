// Constants of cost/h200.hpp from the rows of whole prefill methods in bench/results/h200.csv: per kind of call the
// fixed time and the rate whose predictions are least wrong, by relative squares; then what they predict, row by row.
//   fit_time_model bench/results/h200.csv COMMIT
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "lacuna/cost/h200.hpp"

namespace {

using namespace lacuna;

struct Row {
  std::string arm;
  Shape shape;
  double density = 0.0, select = 0.0, attend = 0.0;
};

std::vector<Row> read(char const* path, std::string const& commit) {
  std::ifstream file(path);
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells;
    std::istringstream cut(line);
    for (std::string cell; std::getline(cut, cell, ',');) cells.push_back(cell);
    if (cells.size() < 16 || cells[1] != commit || cells[4].rfind("methods-", 0) != 0) continue;
    auto const number = [&](int at) { return cells[at].empty() ? 0.0 : std::stod(cells[at]); };
    auto const len = static_cast<std::int64_t>(number(11));
    rows.push_back({cells[5], Shape{len, len, 32, 8, 128}, number(12), number(13), number(14)});
  }
  return rows;
}

/// The cost of what an arm's row did; blocks on the diagonal count whole there.
AttentionWork work_of_row(Row const& row) {
  auto const blocks = [&](std::int64_t block) {
    double const len = static_cast<double>(row.shape.len_k), b = static_cast<double>(block), n = len / b;
    double const pairs = row.density * len * (len + 1.0) / 2.0 + len * (b - 1.0) / 2.0;
    return pairs / (n * (n + 1.0) / 2.0 * b * b);
  };
  auto const of = [&](auto const& cost) { return work_of(cost, Phase::prefill, row.shape); };
  if (row.arm.rfind("dense", 0) == 0) return of(DenseCost{});
  if (row.arm == "block-sparse-64") return of(BlockSparseCost{blocks(64), 64});
  if (row.arm == "block-sparse-128") return of(BlockSparseCost{blocks(128), 128});
  if (row.arm == "x-attention-128") return of(XAttentionCost{row.density, 8});
  if (row.arm == "flex-prefill") return of(FlexPrefillCost{row.density, {512, 2}});
  if (row.arm.rfind("vertical-slash", 0) == 0) return of(VerticalSlashCost{row.density, {256, 2}});
  if (row.arm == "streaming") {
    AttentionWork work = of(StreamingCost{});
    work.attend = prompt_attention(row.shape, row.density * causal_pairs(row.shape), {});
    return work;
  }
  return of(BlockSparseCost{blocks(16), 16});
}

/// Fixed time and time per FLOP, neither below zero, with the least sum of squares of (predicted / measured - 1).
StageRate fit(std::vector<std::pair<double, double>> const& flops_and_ms) {
  double aa = 0, ab = 0, bb = 0, a = 0, b = 0;
  for (auto const& [flops, ms] : flops_and_ms) {
    double const x = 1.0 / ms, y = flops / ms;
    aa += x * x, ab += x * y, bb += y * y, a += x, b += y;
  }
  double const det = aa * bb - ab * ab;
  double fixed = (a * bb - b * ab) / det, each = (b * aa - a * ab) / det;
  if (fixed < 0.0) fixed = 0.0, each = b / bb;
  return {fixed, 1.0 / each / 1e9};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 1;
  std::map<std::string, std::vector<Row>> by_arm;
  for (Row const& row : read(argv[1], argv[2])) by_arm[row.arm].push_back(row);
  for (auto const& [arm, rows] : by_arm) {
    std::vector<std::pair<double, double>> attend, select;
    for (Row const& row : rows) {
      AttentionWork const work = work_of_row(row);
      attend.emplace_back(work.attend.flops, row.attend);
      if (row.select > 0.0) select.emplace_back(work.select.flops, row.select);
    }
    StageRate const attending = fit(attend), selecting = select.empty() ? StageRate{} : fit(select);
    std::printf("%s: attend %.4f ms + %.1f TFLOP/s, select %.4f ms + %.2f TFLOP/s\n", arm.c_str(), attending.fixed_ms,
                attending.tflops, selecting.fixed_ms, selecting.tflops);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      AttentionWork const work = work_of_row(rows[i]);
      std::printf("  %6lld %.4f  attend %.3f for %.3f", static_cast<long long>(rows[i].shape.len_k), rows[i].density,
                  attending.ms(work.attend), rows[i].attend);
      if (!select.empty()) std::printf("  select %.3f for %.3f", selecting.ms(work.select), rows[i].select);
      std::printf("\n");
    }
  }
}

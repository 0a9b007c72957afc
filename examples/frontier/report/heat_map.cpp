#include "frontier/report/heat_map.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <thread>

#include "frontier/methods.hpp"
#include "frontier/show.hpp"
#include "transformer/model.hpp"
#include "transformer/tokenizer.hpp"

namespace frontier {
namespace {

constexpr std::int64_t kQueries = 64;
constexpr double kMass = 0.9;

/// The share of its keys that one query needs for kMass of its attention.
double share_for_mass(std::vector<double>& weights) {
  double const total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::sort(weights.rbegin(), weights.rend());
  double sum = 0.0;
  std::size_t count = 0;
  while (count < weights.size() && sum < kMass * total) sum += weights[count++];
  return static_cast<double>(count) / static_cast<double>(weights.size());
}

std::vector<double> shares_of_layer(lacuna::Problem<float> const& problem, std::int64_t dim) {
  std::int64_t const queries = std::min(kQueries, problem.len_q()), group = problem.q.extent(1) / problem.kv.heads_kv;
  lacuna::TensorView<float const, 3> const keys = rows_of(problem.kv, problem.kv.k);
  std::vector<double> shares;
  for (std::int64_t head = 0; head < problem.q.extent(1); ++head) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < queries; ++i) {
      std::int64_t const row = problem.len_q() - queries + i, seen = problem.kv.len - queries + i + 1;
      std::vector<double> weights(static_cast<std::size_t>(seen));
      double most = -INFINITY;
      for (std::int64_t key = 0; key < seen; ++key) {
        double dot = 0.0;
        for (std::int64_t d = 0; d < dim; ++d)
          dot += static_cast<double>(problem.q(row, head, d)) * static_cast<double>(keys(key, head / group, d));
        weights[static_cast<std::size_t>(key)] = dot / std::sqrt(static_cast<double>(dim));
        most = std::max(most, weights[static_cast<std::size_t>(key)]);
      }
      for (double& weight : weights) weight = std::exp(weight - most);
      sum += share_for_mass(weights);
    }
    shares.push_back(sum / static_cast<double>(queries));
  }
  return shares;
}

HeatMap true_attention(transformer::Model const& model, std::vector<std::int32_t> const& tokens) {
  lacuna::ThreadPool pool(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  auto const capacity = static_cast<std::int64_t>(tokens.size());
  transformer::DenseAttention dense(model.config(), capacity, kQueries);
  model.prefill(pool.exec(), tokens, dense);
  HeatMap map{"true attention: share that holds 90 %", {}};
  for (std::int64_t layer = 0; layer < dense.layers(); ++layer)
    map.shares.push_back(shares_of_layer(dense.last_queries(layer), model.config().head_dim));
  return map;
}

}  // namespace

std::vector<HeatMap> heat_maps_of(std::filesystem::path const& folder, Task const& task, std::int64_t length,
                                  std::vector<std::string> const& methods, double budget) {
  transformer::Model const model(folder);
  transformer::Tokenizer const tokenizer(folder / "tokenizer.json");
  auto const count = [&](std::string_view text) { return static_cast<std::int64_t>(tokenizer.encode(text).size()); };
  Sample const sample = task.generate({43, 0, length, count});
  std::vector<HeatMap> maps = {true_attention(model, tokenizer.encode(sample.prompt))};
  for (std::string const& method : methods) {
    Kept kept = kept_of(folder, task, sample, length, method, budget);
    if (!kept.heads.empty() && !kept.heads.front().empty()) maps.push_back({method, std::move(kept.heads)});
  }
  return maps;
}

Figure heat_map_figure(std::vector<HeatMap> const& maps, std::string caption) {
  static constexpr int kColumns = 4, kWidth = 260, kHeight = 290;
  int const columns = std::min(kColumns, static_cast<int>(maps.size()));
  int const rows = (static_cast<int>(maps.size()) + columns - 1) / columns;
  Figure figure{
      .name = "kept", .caption = std::move(caption), .width = 90 + kWidth * columns, .height = 10 + kHeight * rows};
  std::ostringstream out;
  out << "set multiplot\nset palette defined (0 \"#ffffff\", 1 \"#08306b\")\nset cbrange [0:1]\nunset key\n"
      << "set tics nomirror scale 0\nset border 3\n";
  for (std::size_t i = 0; i < maps.size(); ++i) {
    int const column = static_cast<int>(i) % columns, row = static_cast<int>(i) / columns;
    int const layers = static_cast<int>(maps[i].shares.size());
    int const heads = static_cast<int>(maps[i].shares.front().size());
    auto const x = [&](int pixels) { return static_cast<double>(pixels) / figure.width; };
    auto const y = [&](int pixels) { return 1.0 - static_cast<double>(pixels) / figure.height; };
    int const left = column * kWidth, top = row * kHeight;
    out << "set lmargin at screen " << x(left + 55) << "\nset rmargin at screen " << x(left + 245)
        << "\nset tmargin at screen " << y(top + 40) << "\nset bmargin at screen " << y(top + 240) << '\n'
        << "set title \"" << plain(maps[i].title)
        << "\"\nset xlabel \"head\" offset 0,0.6\nset ylabel \"layer\" offset 1,0\n"
        << "set xrange [0.5:" << heads << ".5]\nset yrange [" << layers << ".5:0.5]\nset xtics 1\nset ytics 1\n";
    bool const last = i + 1 == maps.size();
    if (last)
      out << "set colorbox user origin " << x(figure.width - 78) << ',' << y(240) << " size " << x(14) << ','
          << 200.0 / figure.height
          << "\nset cbtics (\"0\" 0, \"1/20\" 0.2236, \"1/10\" 0.3162, \"1/5\" 0.4472, \"1/2\" "
          << "0.7071, \"1\" 1)\n";
    else
      out << "unset colorbox\n";
    out << "$map" << i << " << END\n";
    for (int layer = 0; layer < layers; ++layer)
      for (int head = 0; head < heads; ++head) {
        double const share = maps[i].shares[static_cast<std::size_t>(layer)][static_cast<std::size_t>(head)];
        // Shares below one half are the interesting ones: the shades are those of the square root.
        out << head + 1 << ' ' << layer + 1 << ' ' << std::sqrt(std::clamp(share, 0.0, 1.0)) << ' '
            << (share >= 0.995 ? "1"
                               : "." + std::string(share < 0.095 ? "0" : "") + std::to_string(std::lround(100 * share)))
            << ' ' << (share > 0.25 ? "0xffffff" : "0x000000") << '\n';
      }
    out << "END\nplot $map" << i << " using 1:2:3 with image pixels, $map" << i
        << " using 1:2:4:5 with labels textcolor rgb variable\n";
  }
  out << "unset multiplot\n";
  figure.script = out.str();
  return figure;
}

}  // namespace frontier

#include "frontier/show.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "frontier/methods.hpp"
#include "frontier/settings.hpp"
#include "transformer/generate.hpp"
#include "transformer/tokenizer.hpp"

namespace frontier {
namespace {

constexpr std::int64_t kMaxOutputTokens = 192;

std::string percent(double share) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.1f", 100.0 * share);
  return text.data();
}

/// Shares below one half are the interesting ones, so the shades are those of the square root.
double shade(double share) { return std::sqrt(std::clamp(share, 0.0, 1.0)); }

std::string escaped(std::string const& text) {
  std::string result;
  for (char c : text) result += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return result;
}

}  // namespace

Kept kept_of(std::filesystem::path const& folder, Task const& task, Sample const& sample, std::int64_t length,
             std::string const& name, double budget) {
  Variant variant;
  try {
    variant = parse_variant(name);
  } catch (std::invalid_argument const& error) {
    throw UsageError(error.what());
  }
  Method const* const method = variant.method;
  transformer::Model const model(folder);
  transformer::Tokenizer const tokenizer(folder / "tokenizer.json");
  if (length + kMaxOutputTokens > model.config().max_positions)
    throw UsageError("a prompt of " + std::to_string(length) + " tokens and an answer do not fit the model's " +
                     std::to_string(model.config().max_positions) + " positions");
  lacuna::ThreadPool pool(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));

  Setup setup{&model.config(),           length,        task.long_tail(), method->sparse ? budget : 1.0, 0,
              length + kMaxOutputTokens, variant.tuning};
  std::vector<std::int32_t> const tokens = tokenizer.encode(sample.prompt);
  auto const dense =
      std::make_shared<transformer::DenseAttention>(model.config(), setup.capacity_tokens, queries_to_keep(setup));
  std::vector<float> logits = model.prefill(pool.exec(), tokens, *dense);
  if (method->sizes_for) setup.size = method->sizes_for(pool.exec(), setup, std::array{setup.budget}, *dense).front();
  std::unique_ptr<MethodRun> const run = method->start(pool.exec(), setup, dense);
  if (method->reads_prompt()) logits = model.prefill(pool.exec(), tokens, *run);
  transformer::Read read{std::move(logits), static_cast<std::int64_t>(tokens.size()), run.get()};
  auto const made = transformer::continue_greedily(model, pool.exec(), {std::move(read)}, kMaxOutputTokens);

  Kept kept;
  kept.title = task.name() + ", " + std::to_string(length) + " tokens, sample " + std::to_string(sample.index) + ": " +
               name + (method->sparse ? " at budget " + budget_text(budget) : "");
  if (std::string const parameters = method->describe(setup); !parameters.empty()) kept.title += ", " + parameters;
  kept.density = run->density();
  kept.heads = run->head_densities();
  kept.output = tokenizer.decode(made.front());
  kept.strict = task.score(sample, kept.output).strict;
  return kept;
}

void write_kept(std::ostream& out, Kept const& kept) {
  static constexpr std::string_view kShades = " .:-=+*#%@";
  out << kept.title << '\n'
      << "kept " << percent(kept.density) << " % of the dense work, score " << kept.strict << '\n';
  if (kept.heads.empty()) out << "this method chooses nothing head by head\n";
  for (std::size_t layer = 0; layer < kept.heads.size(); ++layer) {
    std::string numbers;
    std::string shades;
    for (double share : kept.heads[layer]) {
      std::string const number = percent(share);
      numbers += std::string(6 - std::min<std::size_t>(number.size(), 6), ' ') + number;
      auto const last = static_cast<double>(kShades.size() - 1);
      shades += kShades[static_cast<std::size_t>(std::lround(shade(share) * last))];
    }
    out << "layer " << layer + 1 << (layer + 1 < 10 ? " " : "") << " |" << shades << "|" << numbers << " %\n";
  }
  out << "answer: " << kept.output << '\n';
}

void draw_kept(std::filesystem::path const& file, Kept const& kept) {
  static constexpr int kCell = 44;
  static constexpr int kLeft = 70;
  static constexpr int kTop = 64;
  std::size_t heads = 0;
  for (auto const& layer : kept.heads) heads = std::max(heads, layer.size());
  // A title fits beside the narrowest map too.
  int const width =
      std::max(kLeft + kCell * static_cast<int>(heads) + 20, 20 + 7 * static_cast<int>(kept.title.size()));
  int const height = kTop + kCell * static_cast<int>(kept.heads.size()) + 20;
  std::ostringstream svg;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
      << "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      << "<text x=\"10\" y=\"20\">" << escaped(kept.title) << "</text>\n"
      << "<text x=\"10\" y=\"38\">kept per layer and head, percent of the dense work; all: " << percent(kept.density)
      << "</text>\n";
  for (std::size_t head = 0; head < heads; ++head)
    svg << "<text x=\"" << kLeft + kCell * static_cast<int>(head) + kCell / 2 << "\" y=\"" << kTop - 8
        << "\" text-anchor=\"middle\">" << head + 1 << "</text>\n";
  for (std::size_t layer = 0; layer < kept.heads.size(); ++layer) {
    int const y = kTop + kCell * static_cast<int>(layer);
    svg << "<text x=\"10\" y=\"" << y + kCell / 2 + 4 << "\">layer " << layer + 1 << "</text>\n";
    for (std::size_t head = 0; head < kept.heads[layer].size(); ++head) {
      double const share = kept.heads[layer][head];
      int const grey = static_cast<int>(std::lround(255.0 * (1.0 - shade(share))));
      int const x = kLeft + kCell * static_cast<int>(head);
      svg << "<rect x=\"" << x << "\" y=\"" << y << "\" width=\"" << kCell - 2 << "\" height=\"" << kCell - 2
          << "\" stroke=\"#888\" fill=\"rgb(" << grey << ',' << grey << ',' << grey << ")\"/>\n<text x=\""
          << x + kCell / 2 - 1 << "\" y=\"" << y + kCell / 2 + 4 << "\" text-anchor=\"middle\" fill=\""
          << (grey < 140 ? "white" : "black") << "\">" << percent(share) << "</text>\n";
    }
  }
  svg << "</svg>\n";
  std::ofstream out(file);
  out << svg.str();
  out.close();
  if (!out) throw std::runtime_error(file.string() + ": cannot be written");
}

}  // namespace frontier

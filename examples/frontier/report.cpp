#include "frontier/report.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <ostream>
#include <stdexcept>
#include <tuple>

#include "frontier/methods.hpp"
#include "frontier/settings.hpp"
#include "frontier/tasks/task.hpp"

namespace frontier {
namespace {

template <class... Values>
std::string format(char const* pattern, Values... values) {
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

ReportRow row_of(std::vector<Record const*> records) {
  auto const sample = [](Record const* record) { return std::pair(record->id.seed, record->id.index); };
  std::sort(records.begin(), records.end(), [&](Record const* a, Record const* b) { return sample(a) < sample(b); });
  Record const& first = *records.front();
  ReportRow row;
  row.model = first.model;
  row.parameters = first.parameters;
  row.form = first.form;
  row.turns = first.id.turns;
  row.turn = first.id.turn;
  row.phase = first.phase;
  row.cost = {0.0, 0.0, 0.0, 0.0, 0.0, first.cost.kv_bytes};
  row.task = first.id.task;
  row.length = first.id.length;
  row.method = first.id.method;
  row.budget = first.id.budget;
  row.arguments = first.arguments;
  row.dims = first.dims;
  std::vector<double> compat;
  auto const count = static_cast<double>(records.size());
  for (Record const* record : records) {
    row.samples.push_back(sample(record));
    row.scores.push_back(record->strict);
    if (!record->compat_dropped) compat.push_back(record->compat);
    row.unparsed += record->unparsed ? 1 : 0;
    row.density += record->density / count;
    row.prompt_tokens += static_cast<double>(record->prompt_tokens) / count;
    row.prefill_seconds += record->prefill_seconds / count;
    row.decode_seconds += record->decode_seconds / count;
    row.attend_seconds += record->attend_seconds / count;
    row.peak_bytes += static_cast<double>(record->peak_bytes) / count;
    row.cost.prefill_flops += record->cost.prefill_flops / count;
    row.cost.prefill_select_flops += record->cost.prefill_select_flops / count;
    row.cost.weight_reads += record->cost.weight_reads / count;
    row.cost.kv_reads += record->cost.kv_reads / count;
    row.cost.select_reads += record->cost.select_reads / count;
    row.output_tokens += static_cast<double>(record->output_tokens) / count;
    row.most_output_tokens = std::max(row.most_output_tokens, record->output_tokens);
  }
  row.strict = summarise(row.scores);
  row.compat = summarise(compat);
  return row;
}

std::string quoted(std::string const& text) {
  std::string result = "\"";
  for (char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

std::size_t place_of_task(std::string const& name) {
  std::size_t place = 0;
  while (place < all_tasks().size() && all_tasks()[place]->name() != name) ++place;
  return place;
}

/// Settings of a method come after it.
std::size_t place_of_method(std::string const& name) {
  std::string const method = name.substr(0, name.find(':'));
  std::size_t place = 0;
  while (place < all_methods().size() && all_methods()[place].name != method) ++place;
  return place;
}

}  // namespace

std::vector<ReportRow> rows_of(std::vector<Record> const& records) {
  using Key = std::tuple<std::int64_t, std::string, int, int, std::int64_t, std::size_t, std::string, std::size_t,
                         std::string, double>;
  std::map<Key, std::vector<Record const*>> groups;
  for (Record const& record : records) {
    RecordId const& id = record.id;
    groups[{record.parameters, record.model, id.turns, id.turn, id.length, place_of_task(id.task), id.task,
            place_of_method(id.method), id.method, id.budget}]
        .push_back(&record);
  }
  std::vector<ReportRow> rows;
  for (auto const& [key, group] : groups) rows.push_back(row_of(group));
  return rows;
}

void write_table(std::ostream& out, std::vector<ReportRow> const& rows) {
  std::size_t widest = 6;
  for (ReportRow const& row : rows) widest = std::max(widest, row.method.size());
  auto const width = static_cast<int>(widest);
  std::string const rule = std::string(75 + widest, '-') + "\n";
  out << format("%-16s %6s  %-*s %6s  %15s  %8s  %9s %9s %4s\n", "task", "length", width, "method", "budget", "score",
                "density", "prefill s", "decode s", "n");
  std::string group, section;
  for (ReportRow const& row : rows) {
    std::string const name =
        row.model +
        (row.turns > 1 ? ", question " + std::to_string(row.turn) + " of " + std::to_string(row.turns) : "");
    if (name != group) out << rule << name << ", " << row.parameters << " parameters\n";
    std::string const part = name + row.task + std::to_string(row.length);
    if (part != section) out << rule;
    section = part;
    group = name;
    out << format("%-16s %6ld  %-*s %6s  %.3f +- %.3f%s  %8.4f  %9.3f %9.3f %4ld\n", row.task.c_str(),
                  static_cast<long>(row.length), width, row.method.c_str(), budget_text(row.budget).c_str(),
                  row.strict.mean, row.strict.standard_error(), row.unparsed > 0 ? "*" : " ", row.density,
                  row.prefill_seconds, row.decode_seconds, static_cast<long>(row.strict.count));
  }
  out << rule << "score: mean +- standard error over n samples, strict; * some answers had no complete answer block.\n"
      << "density: measured share of the dense work in the phase that the method makes sparse. seconds: mean per "
         "sample, on one of the threads.\n";
}

void write_summary(std::filesystem::path const& file, std::vector<ReportRow> const& rows) {
  std::ofstream out(file);
  out << "model,params,form,L_max,task,turns,turn,phase,method,method_args,budget_nominal,density_measured,n,mean,"
         "stderr,var,"
         "mean_compat,n_compat,n_unparsed,prompt_tokens_mean,out_tokens_mean,out_tokens_max,prefill_flops,"
         "prefill_select_flops,weight_reads,kv_reads,select_reads,prefill_seconds,decode_seconds,peak_bytes\n";
  for (ReportRow const& row : rows) {
    out << quoted(row.model) << ',' << row.parameters << ',' << row.form << ',' << row.length << ',' << quoted(row.task)
        << ',' << row.turns << ',' << row.turn << ',' << row.phase << ',' << quoted(row.method) << ','
        << quoted(row.arguments) << ',' << format("%.6g,%.6g,", row.budget, row.density) << row.strict.count
        << format(",%.6f,%.6f,%.6f,%.6f,", row.strict.mean, row.strict.standard_error(), row.strict.variance,
                  row.compat.mean)
        << row.compat.count << ',' << row.unparsed << format(",%.1f,%.1f,", row.prompt_tokens, row.output_tokens)
        << row.most_output_tokens
        << format(",%.6g,%.6g,%.6g,%.6g,%.6g", row.cost.prefill_flops, row.cost.prefill_select_flops,
                  row.cost.weight_reads, row.cost.kv_reads, row.cost.select_reads)
        << format(",%.4f,%.4f,%.0f\n", row.prefill_seconds, row.decode_seconds, row.peak_bytes);
  }
  if (!out.flush()) throw std::runtime_error(file.string() + ": cannot be written");
}

}  // namespace frontier

#include "frontier/report.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <ostream>
#include <stdexcept>
#include <tuple>

#include "frontier/runner.hpp"

namespace frontier {
namespace {

template <class... Values>
std::string format(char const* pattern, Values... values) {
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

ReportRow row_of(std::vector<Record const*> const& records) {
  Record const& first = *records.front();
  ReportRow row;
  row.task = first.id.task;
  row.length = first.id.length;
  row.method = first.id.method;
  row.budget = first.id.budget;
  row.arguments = first.arguments;
  std::vector<double> strict;
  std::vector<double> compat;
  auto const count = static_cast<double>(records.size());
  for (Record const* record : records) {
    strict.push_back(record->strict);
    if (!record->compat_dropped) compat.push_back(record->compat);
    row.unparsed += record->unparsed ? 1 : 0;
    row.density += record->density / count;
    row.prompt_tokens += static_cast<double>(record->prompt_tokens) / count;
    row.prefill_seconds += record->prefill_seconds / count;
    row.decode_seconds += record->decode_seconds / count;
    row.output_tokens += static_cast<double>(record->output_tokens) / count;
    row.most_output_tokens = std::max(row.most_output_tokens, record->output_tokens);
  }
  row.strict = summarise(strict);
  row.compat = summarise(compat);
  return row;
}

std::string quoted(std::string const& text) {
  std::string result = "\"";
  for (char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

}  // namespace

std::vector<ReportRow> rows_of(std::vector<Record> const& records) {
  std::vector<std::tuple<std::string, std::int64_t, std::string, double>> order;
  std::map<std::tuple<std::string, std::int64_t, std::string, double>, std::vector<Record const*>> groups;
  for (Record const& record : records) {
    auto const key = std::tuple(record.id.task, record.id.length, record.id.method, record.id.budget);
    std::vector<Record const*>& group = groups[key];
    if (group.empty()) order.push_back(key);
    group.push_back(&record);
  }
  std::vector<ReportRow> rows;
  for (auto const& key : order) rows.push_back(row_of(groups.at(key)));
  return rows;
}

void write_table(std::ostream& out, std::vector<ReportRow> const& rows) {
  auto const rule = format("%s\n", std::string(88, '-').c_str());
  out << format("%-16s %6s  %-15s %6s  %15s  %8s  %9s %9s %4s\n", "task", "length", "method", "budget", "score",
                "density", "prefill s", "decode s", "n");
  std::string group;
  for (ReportRow const& row : rows) {
    std::string const name = row.task + format("%ld", static_cast<long>(row.length));
    if (name != group) out << rule;
    group = name;
    out << format("%-16s %6ld  %-15s %6s  %.3f +- %.3f%s  %8.4f  %9.3f %9.3f %4ld\n", row.task.c_str(),
                  static_cast<long>(row.length), row.method.c_str(), budget_text(row.budget).c_str(), row.strict.mean,
                  row.strict.standard_error(), row.unparsed > 0 ? "*" : " ", row.density, row.prefill_seconds,
                  row.decode_seconds, static_cast<long>(row.strict.count));
  }
  out << rule << "score: mean +- standard error over n samples, strict; * some answers had no complete answer block.\n"
      << "density: measured share of the dense work in the phase that the method makes sparse. seconds: mean per "
         "sample.\n";
}

void write_summary(std::filesystem::path const& file, std::vector<ReportRow> const& rows,
                   Provenance const& provenance) {
  std::ofstream out(file);
  out << "model,params,L_max,task,method,method_args,budget_nominal,density_measured,n,mean,stderr,var,mean_compat,n_"
         "compat,"
         "n_unparsed,prompt_tokens_mean,out_tokens_mean,out_tokens_max,prefill_seconds,decode_seconds,seed\n";
  for (ReportRow const& row : rows) {
    out << quoted(provenance.model) << ',' << provenance.parameters << ',' << row.length << ',' << quoted(row.task)
        << ',' << quoted(row.method) << ',' << quoted(row.arguments) << ','
        << format("%.6g,%.6g,", row.budget, row.density) << row.strict.count
        << format(",%.6f,%.6f,%.6f,%.6f,", row.strict.mean, row.strict.standard_error(), row.strict.variance,
                  row.compat.mean)
        << row.compat.count << ',' << row.unparsed << format(",%.1f,%.1f,", row.prompt_tokens, row.output_tokens)
        << row.most_output_tokens << format(",%.4f,%.4f,", row.prefill_seconds, row.decode_seconds) << provenance.seed
        << '\n';
  }
  if (!out.flush()) throw std::runtime_error(file.string() + ": cannot be written");
}

}  // namespace frontier

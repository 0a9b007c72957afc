#include "frontier/records.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "transformer/json_file.hpp"

namespace frontier {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(Record const& record) {
  lacuna::ModelDims const& dims = record.dims;
  Cost const& cost = record.cost;
  Json const json = {
      {"configuration", record.id.configuration},
      {"model", record.model},
      {"parameters", record.parameters},
      {"dims", {dims.layers, dims.heads_q, dims.heads_kv, dims.dim, dims.hidden, dims.mlp, dims.vocab}},
      {"form", record.form},
      {"seed", record.id.seed},
      {"task", record.id.task},
      {"length", record.id.length},
      {"index", record.id.index},
      {"turns", record.id.turns},
      {"turn", record.id.turn},
      {"method", record.id.method},
      {"phase", record.phase},
      {"budget", record.id.budget},
      {"prompt", record.id.prompt},
      {"arguments", record.arguments},
      {"prompt_tokens", record.prompt_tokens},
      {"density", record.density},
      {"strict", record.strict},
      {"compat", record.compat},
      {"compat_dropped", record.compat_dropped},
      {"unparsed", record.unparsed},
      {"cost",
       {cost.prefill_flops, cost.prefill_select_flops, cost.weight_reads, cost.kv_reads, cost.select_reads,
        cost.kv_bytes}},
      {"prefill_seconds", record.prefill_seconds},
      {"decode_seconds", record.decode_seconds},
      {"attend_seconds", record.attend_seconds},
      {"peak_bytes", record.peak_bytes},
      {"output_tokens", record.output_tokens},
      {"output", record.output},
      {"gold", record.gold},
  };
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Record record_from(Json const& json) {
  Record record;
  json.at("configuration").get_to(record.id.configuration);
  json.at("model").get_to(record.model);
  json.at("parameters").get_to(record.parameters);
  auto const dims = json.at("dims").get<std::array<std::int64_t, 7>>();
  record.dims = {dims[0], dims[1], dims[2], dims[3], dims[4], dims[5], dims[6]};
  json.at("form").get_to(record.form);
  json.at("seed").get_to(record.id.seed);
  json.at("task").get_to(record.id.task);
  json.at("length").get_to(record.id.length);
  json.at("index").get_to(record.id.index);
  json.at("turns").get_to(record.id.turns);
  json.at("turn").get_to(record.id.turn);
  json.at("method").get_to(record.id.method);
  json.at("phase").get_to(record.phase);
  json.at("budget").get_to(record.id.budget);
  json.at("prompt").get_to(record.id.prompt);
  json.at("arguments").get_to(record.arguments);
  json.at("prompt_tokens").get_to(record.prompt_tokens);
  json.at("density").get_to(record.density);
  json.at("strict").get_to(record.strict);
  json.at("compat").get_to(record.compat);
  json.at("compat_dropped").get_to(record.compat_dropped);
  json.at("unparsed").get_to(record.unparsed);
  auto const cost = json.at("cost").get<std::array<double, 6>>();
  record.cost = {cost[0], cost[1], cost[2], cost[3], cost[4], cost[5]};
  json.at("prefill_seconds").get_to(record.prefill_seconds);
  json.at("decode_seconds").get_to(record.decode_seconds);
  json.at("attend_seconds").get_to(record.attend_seconds);
  json.at("peak_bytes").get_to(record.peak_bytes);
  json.at("output_tokens").get_to(record.output_tokens);
  json.at("output").get_to(record.output);
  json.at("gold").get_to(record.gold);
  return record;
}

/// Calls take(record) for every intact line; where the text ends within a line, returns how many bytes come before it.
template <class Take>
std::size_t each_record(std::filesystem::path const& file, std::string_view text, std::ostream& messages,
                        Take const& take) {
  std::int64_t line_number = 0;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::string const where = file.string() + ":" + std::to_string(++line_number) + ": ";
    std::size_t const end = text.find('\n', begin);
    if (end == std::string_view::npos) {
      messages << where << "half-written line left out, its sample will be computed again\n";
      return begin;
    }
    try {
      take(record_from(Json::parse(text.substr(begin, end - begin))));
    } catch (Json::exception const&) {
      messages << where << "damaged record left aside, its sample will be computed again\n";
    }
    begin = end + 1;
  }
  return begin;
}

}  // namespace

std::vector<Record> read_records(std::filesystem::path const& file, std::ostream& messages) {
  std::string const text = transformer::read_text(file);
  std::vector<Record> records;
  std::map<RecordId, std::size_t> places;
  each_record(file, text, messages, [&](Record record) {
    auto const [place, is_new] = places.try_emplace(record.id, records.size());
    if (is_new)
      records.push_back(std::move(record));
    else
      records[place->second] = std::move(record);
  });
  return records;
}

std::vector<Record> latest_of(std::vector<Record> records) {
  std::map<std::pair<std::string, std::string>, std::string> last;
  for (Record const& record : records) last[{record.model, record.form}] = record.id.configuration;
  std::erase_if(records, [&](Record const& record) {
    return last[{record.model, record.form}] != record.id.configuration;
  });
  return records;
}

RecordFile::RecordFile(std::filesystem::path file, std::set<std::string> configurations, bool fresh,
                       std::ostream& messages)
    : file_(std::move(file)), configurations_(std::move(configurations)) {
  open(fresh);
  try {
    load(messages);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

RecordFile::~RecordFile() { ::close(descriptor_); }

void RecordFile::open(bool fresh) {
  descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw std::runtime_error(file_.string() + ": cannot be written: " + std::strerror(errno));
  bool const held = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
  if (held && (!fresh || ::ftruncate(descriptor_, 0) == 0)) return;
  ::close(descriptor_);
  throw std::runtime_error(file_.string() + (held ? ": cannot be emptied" : ": another run is writing to it"));
}

void RecordFile::load(std::ostream& messages) {
  std::string const text = transformer::read_text(file_);
  std::int64_t foreign = 0;
  std::size_t const whole = each_record(file_, text, messages, [&](Record record) {
    if (configurations_.contains(record.id.configuration))
      records_.insert_or_assign(record.id, std::move(record));
    else
      ++foreign;
  });
  if (whole < text.size() && ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
    throw std::runtime_error(file_.string() + ": a half-written line cannot be cut off");
  if (foreign > 0)
    messages << file_.string() << ": " << foreign << " records of another model or configuration left aside\n";
}

Record const* RecordFile::find(RecordId const& id) const {
  auto const found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

void RecordFile::append(Record record) {
  std::string const line = line_of(record);
  ssize_t const written = ::write(descriptor_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size()))
    throw std::runtime_error(file_.string() +
                             ": cannot be appended to: " + (written < 0 ? std::strerror(errno) : "disk full"));
  records_.insert_or_assign(record.id, std::move(record));
}

void RecordFile::sync() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL)  // EINVAL: a special file that cannot be synchronised
    throw std::runtime_error(file_.string() + ": cannot be synchronised: " + std::strerror(errno));
}

}  // namespace frontier

#include "frontier/records.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

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

std::string line_of(Record const& record, std::string const& configuration) {
  Json const json = {
      {"configuration", configuration},
      {"task", record.id.task},
      {"length", record.id.length},
      {"index", record.id.index},
      {"method", record.id.method},
      {"budget", record.id.budget},
      {"prompt", record.id.prompt},
      {"arguments", record.arguments},
      {"prompt_tokens", record.prompt_tokens},
      {"density", record.density},
      {"strict", record.strict},
      {"compat", record.compat},
      {"compat_dropped", record.compat_dropped},
      {"unparsed", record.unparsed},
      {"prefill_seconds", record.prefill_seconds},
      {"decode_seconds", record.decode_seconds},
      {"output_tokens", record.output_tokens},
      {"output", record.output},
      {"gold", record.gold},
  };
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Record record_from(Json const& json) {
  Record record;
  json.at("task").get_to(record.id.task);
  json.at("length").get_to(record.id.length);
  json.at("index").get_to(record.id.index);
  json.at("method").get_to(record.id.method);
  json.at("budget").get_to(record.id.budget);
  json.at("prompt").get_to(record.id.prompt);
  json.at("arguments").get_to(record.arguments);
  json.at("prompt_tokens").get_to(record.prompt_tokens);
  json.at("density").get_to(record.density);
  json.at("strict").get_to(record.strict);
  json.at("compat").get_to(record.compat);
  json.at("compat_dropped").get_to(record.compat_dropped);
  json.at("unparsed").get_to(record.unparsed);
  json.at("prefill_seconds").get_to(record.prefill_seconds);
  json.at("decode_seconds").get_to(record.decode_seconds);
  json.at("output_tokens").get_to(record.output_tokens);
  json.at("output").get_to(record.output);
  json.at("gold").get_to(record.gold);
  return record;
}

}  // namespace

RecordFile::RecordFile(std::filesystem::path file, std::string configuration, bool fresh, std::ostream& messages)
    : file_(std::move(file)), configuration_(std::move(configuration)) {
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
  std::string_view const all(text);
  std::int64_t line_number = 0;
  std::int64_t foreign = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    ++line_number;
    std::string const where = file_.string() + ":" + std::to_string(line_number) + ": ";
    std::size_t const end = all.find('\n', begin);
    if (end == std::string_view::npos) {
      messages << where << "half-written line cut off, its sample will be computed again\n";
      if (::ftruncate(descriptor_, static_cast<off_t>(begin)) != 0)
        throw std::runtime_error(where + "cannot be cut off");
      break;
    }
    try {
      Json const json = Json::parse(all.substr(begin, end - begin));
      Record record = record_from(json);
      if (json.at("configuration") == configuration_)
        records_.insert_or_assign(record.id, std::move(record));
      else
        ++foreign;
    } catch (Json::exception const&) {
      messages << where << "damaged record left aside, its sample will be computed again\n";
    }
    begin = end + 1;
  }
  if (foreign > 0)
    messages << file_.string() << ": " << foreign << " records of another model or configuration left aside\n";
}

Record const* RecordFile::find(RecordId const& id) const {
  auto const found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

void RecordFile::append(Record record) {
  std::string const line = line_of(record, configuration_);
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

#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "frontier/cost.hpp"

namespace frontier {

/// Which question was asked of whom: one record answers it.
struct RecordId {
  std::string configuration;  // fingerprint of the model and of what else could change an answer
  std::uint64_t seed = 0;
  std::string task;
  std::int64_t length = 0;  // most tokens that the prompt may have
  std::int64_t index = 0;   // of the sample
  int turns = 1;            // questions that were asked about the same context
  int turn = 1;             // which of them this answers
  std::string method;       // with its settings, as asked for
  double budget = 1.0;      // nominal share of the dense work
  std::string prompt;       // fingerprint of the prompt's text

  auto operator<=>(RecordId const&) const = default;
};

struct Record {
  RecordId id;
  std::string model;            // the folder's name
  std::int64_t parameters = 0;  // of the model
  lacuna::ModelDims dims{};
  std::string form = "compact";
  std::string phase;      // prefill, decode, or dense
  std::string arguments;  // of the method, for people
  std::int64_t prompt_tokens = 0;
  double density = 1.0;  // measured share of the dense work in the method's phase
  double strict = 0.0;
  double compat = 0.0;
  bool compat_dropped = false;  // the published pipeline leaves this sample out of its mean
  bool unparsed = false;        // no complete answer block
  Cost cost;                    // modelled
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
  double attend_seconds = 0.0;  // of decode_seconds: remembering, selecting and attending
  std::int64_t peak_bytes = 0;  // of the method's caches, indices and workspaces
  std::int64_t output_tokens = 0;
  std::string output;
  std::string gold;
};

/// The intact records of a file in its order, a later one in the place of an earlier one that answers the same
/// question. `messages` names the lines that cannot be used. Throws std::runtime_error when the file cannot be read.
std::vector<Record> read_records(std::filesystem::path const& file, std::ostream& messages);

/// Of models that have records of several configurations under one name, those of the last: a model that was trained
/// again does not mix with what it was.
std::vector<Record> latest_of(std::vector<Record> records);

/// Everything that was measured, one JSON object a line, only ever appended to. One process at a time holds the file.
///
/// Opening keeps every intact record of these configurations, cuts off a last line that was half written, and says on
/// `messages` which lines it could not use and why. Throws std::runtime_error when the file cannot be read, written or
/// held.
class RecordFile {
 public:
  RecordFile(std::filesystem::path file, std::set<std::string> configurations, bool fresh, std::ostream& messages);
  ~RecordFile();
  RecordFile(RecordFile const&) = delete;
  RecordFile& operator=(RecordFile const&) = delete;

  /// Null when this question has no answer yet.
  Record const* find(RecordId const& id) const;
  /// Adds one line by one write, so that a process killed at any moment leaves at most one line to cut off.
  void append(Record record);
  /// Returns when what was appended is on the disk.
  void sync();

 private:
  void open(bool fresh);
  void load(std::ostream& messages);

  std::filesystem::path file_;
  std::set<std::string> configurations_;
  int descriptor_ = -1;
  std::map<RecordId, Record> records_;
};

}  // namespace frontier

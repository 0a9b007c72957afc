#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <string>

namespace frontier {

/// Which question was asked of whom: one record answers it.
struct RecordId {
  std::string task;
  std::int64_t length = 0;  // most tokens that the prompt may have
  std::int64_t index = 0;   // of the sample
  std::string method;
  double budget = 1.0;  // nominal share of the dense work
  std::string prompt;   // fingerprint of the prompt's text

  auto operator<=>(RecordId const&) const = default;
};

struct Record {
  RecordId id;
  std::string arguments;  // of the method, for people
  std::int64_t prompt_tokens = 0;
  double density = 1.0;  // measured share of the dense work
  double strict = 0.0;
  double compat = 0.0;
  bool compat_dropped = false;  // the published pipeline leaves this sample out of its mean
  bool unparsed = false;        // no complete answer block
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
  std::int64_t output_tokens = 0;
  std::string output;
  std::string gold;
};

/// Everything that was measured, one JSON object a line, only ever appended to. One process at a time holds the file.
///
/// Opening keeps every intact record of the same configuration, cuts off a last line that was half written, and says on
/// `messages` which lines it could not use and why. Throws std::runtime_error when the file cannot be read, written or
/// held.
class RecordFile {
 public:
  RecordFile(std::filesystem::path file, std::string configuration, bool fresh, std::ostream& messages);
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
  std::string configuration_;
  int descriptor_ = -1;
  std::map<RecordId, Record> records_;
};

}  // namespace frontier

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace frontier {

/// How many tokens a piece of text has, no special tokens added. Task lengths are measured in these.
using CountTokens = std::function<std::int64_t(std::string_view)>;

/// What decides a prompt; the attention method is not part of it, so all methods see identical prompts.
struct Request {
  std::uint64_t seed = 43;
  std::int64_t index = 0;       // sample number; sample i does not depend on how many samples are made
  std::int64_t max_tokens = 0;  // of the whole templated prompt (L_max of the tasks specification)
  CountTokens count;
};

/// One prompt with its gold answer. The prompt ends where the model starts to write; the model should then write
/// response(gold).
struct Sample {
  std::string prompt;
  std::string gold;  // what stands between the answer tags
  std::int64_t index = 0;
  std::int64_t prompt_tokens = 0;  // of `prompt`, the chat markers included
};

/// `compat` reproduces the published pipeline, `strict` repairs its hazards; both lie in [0, 1].
struct Score {
  double strict = 0;
  double compat = 0;
  bool compat_dropped = false;  // compat leaves this sample out of its mean
  bool unparsed = false;        // no complete answer block
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  /// The tail estimation window that covers this task's question (tasks specification 14.4) at this prompt length.
  virtual bool long_tail() const { return false; }
  /// Throws std::invalid_argument with one sentence when max_tokens cannot hold the task.
  virtual Sample generate(Request const& request) const = 0;
  virtual Score score(Sample const& sample, std::string const& output) const = 0;
};

std::vector<Task const*> const& all_tasks();

/// Null when there is no task of that name.
Task const* find_task(std::string_view name);

}  // namespace frontier

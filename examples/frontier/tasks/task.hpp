#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace frontier {

/// How many tokens a piece of text has, no special tokens added. Task lengths are measured in these.
using CountTokens = std::function<std::int64_t(std::string_view)>;

/// How prompts are worded. The draws and the scores are the same in both forms.
enum class Form {
  compact,  // short, of a closed vocabulary, chat markers included: for the bundled models
  natural,  // plain English with an explanation asked for, the text of one user turn: for any tokenizer and model
};

/// What decides a prompt; the attention method is not part of it, so all methods see identical prompts.
struct Request {
  std::uint64_t seed = 43;
  std::int64_t index = 0;       // sample number; sample i does not depend on how many samples are made
  std::int64_t max_tokens = 0;  // of the whole templated prompt (L_max of the tasks specification)
  CountTokens count;
  int turns = 1;  // 2: another question about the same context follows, in the compact form of most tasks
  // The rest is about the natural form.
  CountTokens count_turn = {};            // of a text as one user turn in the model's chat template; empty: `count`
  std::int64_t max_output_tokens = 1024;  // a gold answer may have
  double min_fill = 0.95;                 // share of max_tokens that a prompt must have
};

/// One more thing that is known about a sample, for those who analyse its answers.
struct Field {
  std::string name;
  std::string value;
};

/// A further turn of a conversation: what comes after the response before, and what should be answered.
struct FollowUp {
  std::string text;
  std::string gold;
};

/// One prompt with its gold answer. The compact prompt ends where the model starts to write; the model should then
/// write response(gold). The natural prompt is one user turn, still to be put into a chat template.
struct Sample {
  std::string prompt = {};
  std::string gold = {};  // what stands between the answer tags
  std::int64_t index = 0;
  std::int64_t prompt_tokens = 0;             // of `prompt`, the chat markers or the chat template included
  std::int64_t tail_tokens = 0;               // of what stands after the context: the question again, instructions
  std::vector<std::string> other_golds = {};  // answers that are as right as `gold`
  std::vector<Field> fields = {};
  std::vector<FollowUp> more = {};  // the compact form's further turns, as far as the task has any
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
  explicit Task(Form form = Form::compact) : form_(form) {}
  virtual ~Task() = default;
  Form form() const { return form_; }
  virtual std::string name() const = 0;
  /// The tail estimation window that covers this task's question (tasks specification 14.4) at this prompt length.
  virtual bool long_tail() const { return false; }
  /// Throws std::invalid_argument with one sentence when max_tokens cannot hold the task or its text cannot fill them.
  virtual Sample generate(Request const& request) const = 0;
  virtual Score score(Sample const& sample, std::string const& output) const = 0;

 private:
  Form form_;
};

/// The nine in their compact form. natural_task() makes those of the other form, which may need files.
std::vector<Task const*> const& all_tasks();

/// One of the nine, or niah_words, which asks what the kind of keys has to do with finding them. Null when there is no
/// task of that name.
Task const* find_task(std::string_view name);

}  // namespace frontier

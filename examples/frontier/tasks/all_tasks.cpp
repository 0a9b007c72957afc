#include "frontier/tasks/cwe.hpp"
#include "frontier/tasks/niah.hpp"
#include "frontier/tasks/qa.hpp"
#include "frontier/tasks/story_filtering.hpp"
#include "frontier/tasks/story_multihop.hpp"
#include "frontier/tasks/story_retrieval.hpp"
#include "frontier/tasks/vt.hpp"

namespace frontier {

std::vector<Task const*> const& all_tasks() {
  static Niah const niah;
  static VariableTracking const vt;
  static CommonWords const cwe;
  static StoryRetrieval const story_retrieval;
  static StoryMultihop const story_multihop;
  static StoryFiltering const story_filtering;
  static QuestionAnswering const qa_squad(QuestionAnswering::Kind::squad);
  static QuestionAnswering const qa_quality(QuestionAnswering::Kind::quality);
  static QuestionAnswering const qa_toefl(QuestionAnswering::Kind::toefl);
  static std::vector<Task const*> const tasks = {
      &niah, &vt, &cwe, &story_retrieval, &story_multihop, &story_filtering, &qa_squad, &qa_quality, &qa_toefl};
  return tasks;
}

Task const* find_task(std::string_view name) {
  static Niah const with_words(Form::compact, true);
  if (name == with_words.name()) return &with_words;
  for (Task const* task : all_tasks()) {
    if (task->name() == name) return task;
  }
  return nullptr;
}

}  // namespace frontier

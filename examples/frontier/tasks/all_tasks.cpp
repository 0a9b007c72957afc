#include "frontier/tasks/niah.hpp"
#include "frontier/tasks/story_retrieval.hpp"
#include "frontier/tasks/vt.hpp"

namespace frontier {

std::vector<Task const*> const& all_tasks() {
  static Niah const niah;
  static VariableTracking const vt;
  static StoryRetrieval const story_retrieval;
  static std::vector<Task const*> const tasks = {&niah, &vt, &story_retrieval};
  return tasks;
}

Task const* find_task(std::string_view name) {
  for (Task const* task : all_tasks()) {
    if (task->name() == name) return task;
  }
  return nullptr;
}

}  // namespace frontier

#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "frontier/tasks/task.hpp"

namespace frontier {

/// What the natural form of the tasks depends on beside the request.
struct NaturalSettings {
  std::filesystem::path words = "/usr/share/dict/american-english-small";  // one word a line: cwe's words
  std::filesystem::path squad = {};                                        // as read_squad takes it, and so on
  std::filesystem::path quality = {};
  std::filesystem::path toefl = {};
  double purchase_probability = 1.0;  // of story_multihop
  bool drop_orphan_sales = false;     // of story_filtering
};

/// The task of that name in its natural form; null when there is none. Reads the file that this task needs and no
/// other; throws std::runtime_error when it is not named or cannot be used.
std::unique_ptr<Task const> natural_task(std::string_view name, NaturalSettings const& settings);

/// 9,000 lower-case words of at least four letters, without inflected forms, spread evenly over the file's alphabet.
/// Throws std::runtime_error naming the file when there are fewer.
std::vector<std::string> read_word_pool(std::filesystem::path const& file);

}  // namespace frontier

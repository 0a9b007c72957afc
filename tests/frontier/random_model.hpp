#pragma once

#include <filesystem>

#include "frontier/train/vocabulary.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace test {

/// A folder with a random model that speaks the tasks' vocabulary: quick, and always wrong.
class RandomModel {
 public:
  explicit RandomModel(std::uint64_t seed = 1) {
    std::vector<std::string> const words = frontier::closed_vocabulary();
    TinyShape shape;
    shape.hidden = 32;
    shape.vocab = static_cast<std::int64_t>(words.size());
    shape.max_positions = 1024;
    write_model(folder_.path(), shape, random_tensors(shape, seed));
    folder_.write("tokenizer.json", frontier::tokenizer_json(words));
  }

  std::filesystem::path const& path() const { return folder_.path(); }

 private:
  ScratchFolder folder_;
};

}  // namespace test

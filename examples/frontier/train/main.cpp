// Writes what training needs: the tokenizer, and shards of rows on request.
//
//   curriculum tokenizer FILE       writes tokenizer.json
//   curriculum serve TOKENIZER      reads lines "FILE KIND LESSON LENGTH FIRST ROWS" from standard input (KIND training
//                                   or held_out, LESSON a task, first_three or mixture), writes ROWS rows of LENGTH + 1
//                                   16-bit words, little-endian, and answers each with a line "FILE"
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>

#include "frontier/train/curriculum.hpp"
#include "frontier/train/vocabulary.hpp"

namespace {

void write_file(std::string const& path, char const* data, std::size_t bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(data, static_cast<std::streamsize>(bytes));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void serve(transformer::Tokenizer const& tokenizer) {
  std::string path;
  std::string kind;
  std::string lesson;
  std::int64_t length = 0;
  std::int64_t first = 0;
  std::int64_t rows = 0;
  while (std::cin >> path >> kind >> lesson >> length >> first >> rows) {
    auto const make = kind == "held_out" ? frontier::held_out_row : frontier::training_row;
    std::optional<frontier::Lesson> const known = frontier::find_lesson(lesson);
    if (!known) throw std::runtime_error("there is no lesson '" + lesson + "'");
    std::vector<std::uint16_t> words;
    for (std::int64_t row = first; row < first + rows; ++row) {
      std::vector<std::uint16_t> const made = make(tokenizer, *known, length, row);
      words.insert(words.end(), made.begin(), made.end());
    }
    write_file(path, reinterpret_cast<char const*>(words.data()), words.size() * sizeof(words[0]));
    std::cout << path << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::string const command = argc == 3 ? argv[1] : "";
    if (command == "tokenizer") {
      std::string const json = frontier::tokenizer_json(frontier::closed_vocabulary());
      write_file(argv[2], json.data(), json.size());
    } else if (command == "serve") {
      serve(transformer::Tokenizer(argv[2]));
    } else {
      std::cerr << "usage: curriculum tokenizer FILE | curriculum serve TOKENIZER\n";
      return 2;
    }
  } catch (std::exception const& error) {
    std::cerr << "curriculum: " << error.what() << '\n';
    return 1;
  }
}

#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace frontier {

/// One question about one context. A question with options has them lettered in its text, and the letters of the right
/// ones, "B" or "AD", as its answer.
struct CorpusQuestion {
  std::size_t context = 0;  // into Corpus::contexts
  std::string text;
  std::vector<std::string> answers;  // one or more, any of which is right
  bool difficult = false;            // QuALITY's hard subset; false elsewhere
};

/// A public question answering data set: distinct contexts, and no question twice about the same context.
struct Corpus {
  std::string name;
  bool has_options = false;
  std::vector<std::string> contexts;  // sorted
  std::vector<CorpusQuestion> questions;
};

// The readers take the files as they are published, whole or in part. They throw std::runtime_error naming the file and
// the line or entry that is not of the known form.

/// SQuAD 2.0: one JSON file. Questions without an answer in the text are left out.
Corpus read_squad(std::filesystem::path const& file);

/// QuALITY 1.0.1: JSON lines with `article` and `questions`; lines about the same article are taken together and HTML
/// is stripped. Lines with `context` instead are read as read_choices does.
Corpus read_quality(std::filesystem::path const& file);

/// TOEFL-QA: a folder of text files, searched with all its subfolders, one question each; files with the same sentences
/// are one context. A file instead is read as read_choices does.
Corpus read_toefl(std::filesystem::path const& path);

/// The format that both multiple-choice sets are exchanged in: JSON lines with `context`, `questions`, each with its
/// options inline, and `answer`, a string of letters for each question.
Corpus read_choices(std::filesystem::path const& file, std::string const& name);

/// Text without tags and with the entities that QuALITY uses replaced; a paragraph ends in one line break.
std::string without_html(std::string const& html);

}  // namespace frontier

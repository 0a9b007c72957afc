#include "frontier/train/vocabulary.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "frontier/random.hpp"
#include "frontier/tasks/narrative.hpp"
#include "frontier/tasks/niah.hpp"
#include "frontier/tasks/story_retrieval.hpp"
#include "frontier/tasks/vt.hpp"
#include "frontier/words.hpp"
#include "transformer/pattern.hpp"

namespace frontier {
namespace {

constexpr char kPieces[] = R"(\n|</?[a-z_]+>|[a-z][0-9]|[A-Za-z]+|[0-9]|[^\sA-Za-z0-9])";

constexpr std::array kSpecial = {"<pad>", "<bos>", "<eos>", "<user>", "<assistant>"};

constexpr char kCharacters[] =
    "0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z . , : ; ? ! ( ) = + - ' / \n";

constexpr char kTags[] =
    "<question> </question> <questions> </questions> <context> </context> <question_repeated> </question_repeated> "
    "<questions_repeated> </questions_repeated> <explanation> </explanation> <answer> </answer>";

/// What the counting, ordering, filtering and question-answering tasks say beside the word lists. They share vocabulary
/// and model with the tasks that are generated here, so their words hold ids from the start.
constexpr char kFurtherWording[] =
    "The context is a list of words in random order. Some words are common and appear many times, all other words "
    "appear "
    "a few times. Each of the 10 common words appears 30 times. Which are the common words? Write one word on each "
    "line. "
    "Do not count by code. "
    "Which item was acquired just before the next one? Write only the name of the item, without an article. What was "
    "the "
    "last item acquired before the {I}? In which chapters was no item acquired, bought or purchased? There are exactly "
    "3 "
    "such chapters. Write the numbers of the chapters, separated by commas. "
    "The context holds several documents with facts. Document 1 Question about document 2: What is the value? Answer "
    "with "
    "as few words as possible. Choose the right option. Several options can be right. Write only the letter or the "
    "letters. "
    "For Abelard the profession is baker, and the hobby of Abelard was never told. It is known that the favorite color "
    "of "
    "this person is red. Nobody knows why, but it has been so since last year. According to the records, he, she, "
    "they, "
    "him, her, his, hers, their, them, it, its, who, whom, whose, which, what, when, where, why, how, not, only, both, "
    "either, neither, none, all, any, each, every, other, another, same, different, first, second, third, last, next, "
    "before, after, between, because, although, while, until, since, if, then, than, also, too, very, more, most, "
    "less, "
    "least, many, much, few, some, no, yes, and, or, but, so, as, at, by, for, from, in, into, of, off, on, onto, out, "
    "over, to, under, up, with, without, was, were, been, being, are, am, has, had, having, does, did, done, will, "
    "would, "
    "can, could, may, might, must, shall, should. "
    "Speaker Student Professor Librarian Advisor says: said asked answered replied. Well, I think you should look at "
    "it "
    "again. Let us begin with today's topic. That is a good point. Can you explain it? Sure. What does the professor "
    "say "
    "about it? Why does the student visit the office? Which of these statements is true according to the talk? "
    "painter singer sailor doctor lawyer miner weaver glassmaker potter farmer cook judge writer poet dancer actor "
    "nurse "
    "violinist engineer astronomer shepherd carpenter mason printer barber clerk pilot diver banker grocer jeweler "
    "brewer "
    "Explain how the evidence was found. Look for the sentence that names the key. The chapter states the fact. True "
    "False "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August "
    "September "
    "October November December";

}  // namespace

std::vector<std::string> closed_vocabulary() {
  std::vector<std::string> words(kSpecial.begin(), kSpecial.end());
  std::set<std::string, std::less<>> known(words.begin(), words.end());
  transformer::Pattern const pieces(kPieces);
  auto const add = [&](std::string_view text) {
    for (std::string_view piece : pieces.matches(text)) {
      if (known.emplace(piece).second) words.emplace_back(piece);
    }
    return std::int64_t{0};
  };
  auto const add_all = [&](std::vector<std::string> const& list) {
    for (std::string const& text : list) add(text);
  };

  add(kCharacters);
  add(kTags);
  add_all(words::symbols());
  add_all(words::item_adjectives());
  add_all(words::item_materials());
  add_all(words::item_types());
  add_all(words::characters());
  add_all(words::locations());
  add_all(words::events());
  add_all(words::entities());
  add_all(words::relations());
  add_all(words::common_pool());
  add(kFurtherWording);

  // The sentences of the tasks live with the tasks: enough samples say each of them many times.
  auto const count = [&](std::string_view text) {
    add(text);
    return static_cast<std::int64_t>(pieces.matches(text).size());
  };
  Random random(0, "vocabulary", 0);
  Narrative(random, Narrative::Form::full, 200000, count);
  add(render_conversation(Niah::draft(random, {.training = true}, 1000, count)));
  add(render_conversation(VariableTracking::draft(random, {.training = true}, 1000, count)));
  add(render_conversation(StoryRetrieval::draft(random, {.queries = 3, .training = true}, 2000, count)));
  return words;
}

std::string tokenizer_json(std::vector<std::string> const& vocabulary) {
  nlohmann::ordered_json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = nlohmann::ordered_json::array();
  for (std::size_t id = 0; id < kSpecial.size(); ++id) {
    json["added_tokens"].push_back({{"id", id},
                                    {"content", kSpecial[id]},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", true}});
  }
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", kPieces}}}, {"behavior", "Removed"}, {"invert", true}};
  json["post_processor"] = nullptr;
  json["decoder"] = nullptr;
  nlohmann::ordered_json words;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) words[vocabulary[id]] = id;
  json["model"] = {{"type", "WordLevel"}, {"vocab", std::move(words)}, {"unk_token", "<pad>"}};
  return json.dump(1) + "\n";
}

}  // namespace frontier

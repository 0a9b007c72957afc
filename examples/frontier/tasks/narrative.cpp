#include "frontier/tasks/narrative.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "frontier/words.hpp"

namespace frontier {
namespace {

using List = std::vector<std::string>;

// Slots: {P} protagonist, {L} location, {C} character, {E} event, {I} item.
constexpr char kProtagonist[] = "Arden";

List const kArrivals = {
    "{P} reached {L} after a long walk along the muddy road.",
    "In the early morning {P} rode through the gates of {L}.",
    "{P} arrived in {L} just as the rain began to fall.",
    "The ferry brought {P} to {L} on a calm and bright day.",
    "Late in the evening {P} came to {L} with tired feet.",
    "{P} entered {L} by the old bridge near the mill.",
    "A merchant cart carried {P} over the hills to {L}.",
    "{P} saw the towers of {L} long before the road ended.",
    "On a windy afternoon {P} walked into the town of {L}.",
    "{P} followed the river until the houses of {L} appeared.",
};
List const kReasons = {
    "{P} had heard that the traders of {L} were honest and kind.",
    "An old letter had promised {P} good fortune in this place.",
    "{P} wanted to rest in {L} before the next part of the journey.",
    "A friend had told {P} many stories about {L} and its people.",
    "{P} was looking for a quiet inn and a warm meal.",
    "The map of {P} showed a famous market in the middle of {L}.",
    "{P} hoped to learn more about the history of {L}.",
    "The roads were dangerous and {P} needed a safe place to stay.",
    "{P} had dreamed of visiting {L} since the days of childhood.",
    "Work was said to be easy to find, so {P} had come.",
};
List const kHappenings = {
    "The streets were crowded because {E} had begun that day.",
    "Everyone in town was talking about {E} and its guests.",
    "{P} stopped for a while to watch {E} with the children.",
    "Music and laughter from {E} could be heard in {L}.",
    "A tall banner announced {E} to all visitors of the town.",
    "{P} had not expected to find {E} in such a place.",
    "The whole square was decorated for {E} that week.",
    "People had come from far away to take part in {E}.",
    "The noise of {E} followed {P} from street to street.",
    "In {L} nobody wanted to miss {E} this year.",
};
List const kEncounters = {
    "Near the fountain {P} met {C}, who was selling old things.",
    "A trader named {C} waved from a stall under the arches.",
    "There {C} was sitting on a bench and counting coins.",
    "At the corner of the market stood {C} with a full cart.",
    "{P} was greeted by {C}, a merchant with a friendly smile.",
    "Inside a small shop {C} was cleaning the shelves with care.",
    "A voice called out, and {P} turned around to see {C}.",
    "Beside the well {C} had spread a blanket full of goods.",
    "{P} asked for directions and so came to know {C}.",
    "Under a green tent {C} was waiting for the first customers.",
};
List const kConversations = {
    "They spoke about the weather and agreed that the winter would be long.",
    "The trader told a story about a storm that had lasted nine days.",
    "Both of them laughed about the proud mayor and his tiny horse.",
    "They talked about the best way to cook fish over an open fire.",
    "The price of bread in {L} had gone up again, the trader said.",
    "They shared a pot of tea and watched the people pass by.",
    "The trader wanted to know everything about the roads to the north.",
    "They discovered that they both knew the same old sailor song.",
    "It was said that a ghost lived in the highest tower of {L}.",
    "The trader complained about the taxes and about the noise at night.",
    "They compared their maps and found that neither of them was correct.",
    "The trader explained how to tell good silver from cheap metal.",
    "They spoke in low voices about the war beyond the mountains.",
    "The trader had once crossed the desert with only a single camel.",
    "They agreed that honest work is worth more than a lucky day.",
    "The trader pointed at the birds and promised that rain was near.",
    "They wondered why the bells of {L} had been silent for a week.",
    "The trader knew every family in the valley by name and by trade.",
    "They remembered the summers of their youth and the taste of ripe plums.",
    "The trader asked many questions and listened to each answer with patience.",
    "They argued for a while about the fastest way to the coast.",
    "The trader spoke with great pride of a daughter who studied the stars.",
    "They both had little sleep, because the dogs of {L} had barked all night.",
    "The trader described a hidden path that only the shepherds used.",
    "They exchanged advice about sore feet, good boots and warm socks.",
    "The trader believed that the new bridge would bring more visitors to {L}.",
    "They spoke of books, of old songs and of the price of paper.",
    "The trader had seen the sea only once and still dreamed of it.",
    "They guessed the weight of a huge pumpkin and both were wrong.",
    "The trader told a joke so old that even the walls seemed to sigh.",
};
List const kPurchases = {
    "{P} decided to acquire the {I} that {C} had kept in a box.",
    "After some thought {P} purchased the {I} from {C}.",
    "{P} was able to secure the {I} after a short talk with {C}.",
    "For a fair price {P} obtained the {I} from {C}.",
    "A handful of coins changed hands and the {I} passed from {C} to {P}.",
    "{P} paid {C} and claimed ownership of the {I}.",
    "{P} bought the {I}, and {C} wrapped it in soft cloth.",
    "With a nod {C} let {P} take possession of the {I}.",
    "{C} offered the {I}, and {P} agreed to buy it at once.",
};
List const kSales = {
    "{P} also sold the {I} to {C} for a good sum.",
    "In return {C} took the {I} that {P} no longer needed.",
    "{P} parted with the {I}, which {C} had admired for a while.",
    "The {I} was handed over by {P} to {C} that same hour.",
    "{C} paid {P} well for the {I} and smiled.",
};
List const kFarewells = {
    "{C} wished {P} a safe journey and closed the shop.",
    "They shook hands, and {C} returned to the other customers.",
    "With a friendly word {P} said goodbye to {C}.",
    "{C} waved until {P} had disappeared behind the houses.",
    "{P} thanked {C} and promised to come back one day.",
    "{C} gave {P} a piece of cake for the road.",
    "Before they parted {C} whispered a blessing in an old language.",
    "{P} bowed to {C} and walked away in high spirits.",
    "At sunset {C} packed up and left with a last smile.",
    "{C} and {P} parted as friends at the edge of the square.",
};
List const kConclusions = {
    "That night {P} slept deeply in a small room above the inn.",
    "{P} wrote down the events of the day in a worn notebook.",
    "Content with the day, {P} took the road again at dawn.",
    "{P} counted the remaining coins and smiled at the result.",
    "The next morning {P} left the town before the others awoke.",
    "{P} stayed for supper and then prepared for the next journey.",
    "With a lighter heart {P} watched the moon above the roofs.",
    "{P} felt that this visit would be remembered for a long time.",
    "After two quiet days {P} packed everything and moved on.",
    "{P} rested under a tree and thought about what lay ahead.",
};
List const kAtmosphere = {
    "A cold wind moved the leaves along the empty street.",
    "The smell of fresh bread came from every second door.",
    "Somewhere a child was learning to play the flute.",
    "Grey clouds hung over the roofs, but no rain fell.",
    "A black cat crossed the road and vanished behind a barrel.",
    "The lamps were lit one after another as night came.",
    "Far away the bells of a temple rang three times.",
    "The air was full of dust and of the scent of pine.",
    "Two old men played chess and did not look up.",
    "Smoke rose straight from the chimneys into the still sky.",
};

struct Facts {
  std::string location;
  std::string character;
  std::string event;
  std::string item;
};

std::string filled(std::string const& form, Facts const& facts) {
  std::string text;
  for (std::size_t i = 0; i < form.size(); ++i) {
    if (form[i] != '{') {
      text += form[i];
      continue;
    }
    switch (form[i + 1]) {
      case 'P': text += kProtagonist; break;
      case 'L': text += facts.location; break;
      case 'C': text += facts.character; break;
      case 'E': text += facts.event; break;
      default: text += facts.item; break;
    }
    i += 2;
  }
  return text;
}

std::string item_name(Random& random) {
  std::string name = random.choice(words::item_adjectives());
  name += " " + random.choice(words::item_materials());
  return name + " " + random.choice(words::item_types());
}

void leave_out(Narrative::Chapter& chapter, std::string const& sentence) {
  chapter.text.erase(chapter.text.find(" " + sentence), sentence.size() + 1);
}

/// Draws chapters one after another; every draw happens in both forms, and in this order.
class Storyteller {
 public:
  Storyteller(Random& random, Narrative::Form form, double purchase_probability)
      : random_(random), full_(form == Narrative::Form::full), purchase_probability_(purchase_probability) {}

  Narrative::Chapter next() {
    Facts facts;
    for (int attempt = 0; attempt < 100; ++attempt) {
      facts.location = random_.choice(words::locations());
      facts.character = random_.choice(words::characters());
      if (meetings_.insert({facts.location, facts.character}).second) break;
    }
    facts.event = random_.choice(words::events());
    std::string const arrival = filled(random_.choice(kArrivals), facts);
    std::string const reason = filled(random_.choice(kReasons), facts);
    std::string const happening = filled(random_.choice(kHappenings), facts);
    std::string const encounter = filled(random_.choice(kEncounters), facts);
    List const conversation = random_.sample(kConversations, 3);
    do facts.item = item_name(random_);
    while (!items_.insert(facts.item).second);
    std::string purchase = filled(random_.choice(kPurchases), facts);
    if (purchase_probability_ < 1.0 && !random_.chance(purchase_probability_)) {
      facts.item.clear();
      purchase.clear();
    }

    std::string sold_item;
    std::string sale;
    if (!inventory_.empty() && random_.chance(0.5)) {
      auto const sold = inventory_.begin() + random_.below(static_cast<std::int64_t>(inventory_.size()));
      Facts const old{facts.location, facts.character, facts.event, *sold};
      inventory_.erase(sold);
      sold_item = old.item;
      sale = filled(random_.choice(kSales), old);
    }
    if (!facts.item.empty()) inventory_.push_back(facts.item);
    std::string const farewell = filled(random_.choice(kFarewells), facts);
    std::string const conclusion = filled(random_.choice(kConclusions), facts);
    std::string const atmosphere = random_.choice(kAtmosphere);

    std::string text = "Chapter " + std::to_string(++number_) + "\n" + arrival;
    if (full_) text += " " + reason;
    text += " " + happening + " " + encounter;
    if (full_) {
      for (std::string const& line : conversation) text.append(" ").append(filled(line, facts));
    }
    for (std::string const& sentence : {purchase, sale}) {
      if (!sentence.empty()) text += " " + sentence;
    }
    text += " " + farewell;
    if (full_) text += " " + conclusion + " " + atmosphere;
    return {number_, facts.location, facts.character, facts.item, purchase, std::move(text), sold_item, sale};
  }

 private:
  Random& random_;
  bool full_;
  double purchase_probability_;
  std::int64_t number_ = 0;
  std::set<std::pair<std::string, std::string>> meetings_;
  std::set<std::string> items_;
  List inventory_;
};

constexpr char kBetweenChapters[] = "\n\n";

}  // namespace

Narrative::Narrative(Random& random, Form form, std::int64_t allowance, CountTokens const& count,
                     double purchase_probability) {
  static constexpr std::int64_t kMostChapters = 2000;
  Storyteller teller(random, form, purchase_probability);
  std::int64_t room = allowance;
  for (std::int64_t i = 0; i < kMostChapters; ++i) {
    Chapter chapter = teller.next();
    std::int64_t const cost = count(kBetweenChapters + chapter.text);
    if (cost > room) break;
    room -= cost;
    chapters_.push_back(std::move(chapter));
  }
  pad(room, count);
}

void Narrative::leave_out_purchases(std::vector<std::int64_t> const& numbers, CountTokens const& count,
                                    bool later_sales_too) {
  std::int64_t room = 0;
  std::set<std::string> items;
  for (std::int64_t number : numbers) {
    Chapter& chapter = chapters_[static_cast<std::size_t>(number - 1)];
    if (chapter.purchase.empty()) continue;
    leave_out(chapter, chapter.purchase);
    room += count(" " + chapter.purchase);
    items.insert(chapter.item);
    chapter.item.clear();
    chapter.purchase.clear();
  }
  for (Chapter& chapter : chapters_) {
    if (!later_sales_too || items.count(chapter.sold) == 0) continue;
    leave_out(chapter, chapter.sale);
    room += count(" " + chapter.sale);
    chapter.sold.clear();
    chapter.sale.clear();
  }
  pad(room, count);
}

void Narrative::pad(std::int64_t room, CountTokens const& count) {
  if (chapters_.empty()) return;
  for (std::size_t i = 0; room > 0 && i < 100; ++i) {
    std::string const& sentence = kAtmosphere[i % kAtmosphere.size()];
    std::int64_t const cost = count(sentence);
    if (cost > room) break;
    room -= cost;
    chapters_.back().text += " " + sentence;
  }
}

std::string Narrative::text() const {
  std::string text;
  for (Chapter const& chapter : chapters_) text += (text.empty() ? "" : kBetweenChapters) + chapter.text;
  return text;
}

std::string story_introduction(Form form) {
  if (form == Form::compact) {
    return "The context tells of a traveler who visits a place, meets a trader and acquires an item in each chapter. "
           "Items are unique and can be sold later.";
  }
  return "Below is a story in numbered chapters. In each chapter the traveler " + std::string(kProtagonist) +
         " comes to a place, meets a trader and may acquire an item from that trader or sell an older one. All items "
         "are unique, and they can change owners in the course of the story.";
}

}  // namespace frontier

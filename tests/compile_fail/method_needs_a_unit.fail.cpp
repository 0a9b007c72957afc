// expect: Method: the Unit needs
#include "lacuna/lacuna.hpp"

// A unit that can neither count nor pick.
struct Word {
  struct Index {};
  static constexpr int rows = 1;
};

lacuna::Method<Word, lacuna::WindowAttention, lacuna::FixedBudget, lacuna::ContiguousCache> method;

// expect: Method: a Unit with a choice per query block needs a Selector that scores rows of blocks
#include "lacuna/lacuna.hpp"

// The last queries say nothing about the blocks of the others.
lacuna::Method<lacuna::Block<16>, lacuna::WindowAttention, lacuna::FixedBudget, lacuna::ContiguousCache> method;

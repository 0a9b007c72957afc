// expect: Method: a Unit with a choice per query block needs a Selector that scores rows of blocks
#include "lacuna/lacuna.hpp"

// Neighbours are pooled where all scores of a head are there at once.
lacuna::Method<lacuna::Block<16>, lacuna::HighestNear<lacuna::MeanPool>, lacuna::FixedBudget, lacuna::ContiguousCache>
    method;

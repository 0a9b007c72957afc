// expect: Method: a Unit with a choice per query block needs a Selector that scores rows of blocks
#include "lacuna/lacuna.hpp"

// A wrapper can score what the selector inside can: the last queries say nothing about blocks.
lacuna::Method<lacuna::Block<16>, lacuna::Normalised<lacuna::WindowAttention>, lacuna::TopMass, lacuna::ContiguousCache>
    method;

// expect: Block: a block must hold 8, 16, 32, 64 or 128 tokens
#include "lacuna/lacuna.hpp"

lacuna::Block<48> block;

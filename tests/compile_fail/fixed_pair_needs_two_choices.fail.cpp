// expect: FixedPair: the Unit must make two choices per head
#include "lacuna/lacuna.hpp"

lacuna::Status check() { return lacuna::FixedPair{}.check(lacuna::Token{}); }

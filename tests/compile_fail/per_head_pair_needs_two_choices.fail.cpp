// expect: PerHeadPair: the Unit must make two choices per head
#include "lacuna/lacuna.hpp"

lacuna::Status check() { return lacuna::PerHeadPair{}.check(lacuna::Token{}); }

#include "lacuna/lacuna.hpp"

lacuna::Status check() { return lacuna::FixedPair{}.check(lacuna::VerticalSlashUnit<64>{}); }

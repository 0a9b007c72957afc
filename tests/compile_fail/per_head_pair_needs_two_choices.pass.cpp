#include "lacuna/lacuna.hpp"

lacuna::Status check() { return lacuna::PerHeadPair{}.check(lacuna::VerticalSlashUnit<64>{}); }

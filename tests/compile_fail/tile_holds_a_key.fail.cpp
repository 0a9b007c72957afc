// expect: VerticalSlashUnit: a tile must hold at least one key
#include "lacuna/lacuna.hpp"

lacuna::VerticalSlashUnit<0> unit;

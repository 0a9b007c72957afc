#include "lacuna/lacuna.hpp"

lacuna::VerticalSlashUnit<1> unit;

#include "lacuna/lacuna.hpp"

lacuna::Page<1> page;

#include "lacuna/lacuna.hpp"

lacuna::Block<32> block;

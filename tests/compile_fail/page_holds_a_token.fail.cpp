// expect: Page: a page must hold at least one token
#include "lacuna/lacuna.hpp"

lacuna::Page<0> page;

// expect: Method: the Budget needs
#include "lacuna/lacuna.hpp"

struct Unlimited {};

lacuna::Method<lacuna::Token, lacuna::WindowAttention, Unlimited, lacuna::EvictingCache> method;

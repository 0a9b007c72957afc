#include "lacuna/lacuna.hpp"

lacuna::Method<lacuna::Token, lacuna::WindowAttention, lacuna::Ratio, lacuna::EvictingCache> method;

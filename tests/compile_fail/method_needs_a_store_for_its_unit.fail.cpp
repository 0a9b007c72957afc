// expect: Method: the KvStore needs
#include "lacuna/lacuna.hpp"

// Whole tokens can be evicted, pages cannot.
lacuna::Method<lacuna::Page<16>, lacuna::MinMaxBound, lacuna::FixedBudget, lacuna::EvictingCache> method;

// expect: Method: a Budget of mass needs a Selector whose scores are shares of attention
#include "lacuna/lacuna.hpp"

// Pooled products are logits without scale.
lacuna::Method<lacuna::Block<16>, lacuna::MeanPool, lacuna::TopMass, lacuna::ContiguousCache> method;

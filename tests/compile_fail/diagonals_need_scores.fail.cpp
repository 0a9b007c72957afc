// expect: Method: a Unit of columns and diagonals needs a Selector that scores both
#include "lacuna/lacuna.hpp"

// Pooled keys know no distances.
lacuna::Method<lacuna::VerticalSlashUnit<64>, lacuna::MeanPool, lacuna::FixedPair, lacuna::ContiguousCache> method;

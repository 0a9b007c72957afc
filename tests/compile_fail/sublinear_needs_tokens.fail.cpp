// expect: Sublinear: the Budget needs a member tokens to scale
#include "lacuna/lacuna.hpp"

lacuna::Sublinear<lacuna::Ratio> budget;

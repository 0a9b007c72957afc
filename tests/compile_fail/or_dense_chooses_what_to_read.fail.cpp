// expect: OrDense: the method must choose what to read
#include "lacuna/lacuna.hpp"

lacuna::OrDense<lacuna::SnapKv, lacuna::SnapKvCost> method;

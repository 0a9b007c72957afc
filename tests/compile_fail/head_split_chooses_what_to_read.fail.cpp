// expect: HeadSplit: both methods must choose what to read
#include "lacuna/lacuna.hpp"

lacuna::HeadSplit<lacuna::SnapKv, lacuna::Dense> method;

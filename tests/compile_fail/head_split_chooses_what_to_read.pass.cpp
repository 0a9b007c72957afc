#include "lacuna/lacuna.hpp"

lacuna::HeadSplit<lacuna::VerticalSlash, lacuna::Dense> method;

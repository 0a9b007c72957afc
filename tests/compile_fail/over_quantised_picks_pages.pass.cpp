#include "lacuna/lacuna.hpp"

lacuna::OverQuantised<lacuna::Quest, float> method;

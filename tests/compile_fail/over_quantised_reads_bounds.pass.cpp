#include "lacuna/lacuna.hpp"

lacuna::OverQuantised<lacuna::AdaQuest, float> method;

// expect: OverQuantised: the method must pick pages
#include "lacuna/lacuna.hpp"

lacuna::OverQuantised<lacuna::SnapKv, float> method;

// expect: OverQuantised: the selector must go by page bounds
#include "lacuna/lacuna.hpp"

lacuna::OverQuantised<lacuna::Twilight, float> method;

// expect: OverQuantised: the selector must go by page bounds alone
#include "lacuna/lacuna.hpp"

lacuna::OverQuantised<lacuna::QuestTopP, float> method;

#include "lacuna/lacuna.hpp"

lacuna::OverQuantised<lacuna::AdaQuest, float> method;
lacuna::OverQuantised<lacuna::QuestTopP, float> weighing;

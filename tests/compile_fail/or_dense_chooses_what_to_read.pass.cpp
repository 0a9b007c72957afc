#include "lacuna/lacuna.hpp"

lacuna::OrDense<lacuna::Quest, lacuna::QuestCost> method;

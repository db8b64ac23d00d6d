// SPDX-License-Identifier: MIT
/* C++ names: overloads, templates, members, operators, a namespace without a name. */
#include <stdexcept>
#include <string>

#define KEPT __attribute__((noinline, used))

namespace shop
{
struct order {
	int items;
	KEPT explicit order(int n);
	KEPT ~order();
	KEPT int total() const;
	KEPT int total(int rebate) const;
	KEPT int operator()(int n) const;
	KEPT bool operator==(const order &other) const;
};

order::order(int n) : items(n)
{
}
order::~order()
{
	items = 0;
}
int order::total() const
{
	return items * 2;
}
int order::total(int rebate) const
{
	return items * 2 - rebate;
}
int order::operator()(int n) const
{
	return items + n;
}
bool order::operator==(const order &other) const
{
	return items == other.items;
}

KEPT int ship(const std::string &to, unsigned long weight)
{
	if (weight > 1000)
		throw std::runtime_error("too heavy for " + to);
	return static_cast<int>(to.size());
}

template <typename T> KEPT T doubled(T value)
{
	return value + value;
}
template int doubled<int>(int);
template long doubled<long>(long);

KEPT int deliver(const std::string &to, unsigned long weight)
{
	try {
		return ship(to, weight);
	} catch (const std::exception &e) {
		return e.what()[0];
	}
}
} // namespace shop

namespace
{
KEPT int hidden(int n)
{
	return n + 1;
}
} // namespace

KEPT int plain_function(int n)
{
	return hidden(n);
}

int main(int argc, char **)
{
	shop::order o(argc);

	return shop::deliver("x", static_cast<unsigned long>(o.total())) + o.total(1) + o(2) +
	       plain_function(argc);
}

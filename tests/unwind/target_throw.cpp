// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>

extern "C" void target_throw(int depth);

struct guard {
	std::string text = "a string that does not fit into the object itself";
	~guard()
	{
		text.clear();
	}
};

__attribute__((noinline)) static int deep(int n)
{
	guard g;

	if (!n)
		throw std::runtime_error(g.text);
	return deep(n - 1) + 1;
}

void target_throw(int depth)
{
	try {
		(void)deep(depth);
	} catch (const std::exception &) {
	}
}

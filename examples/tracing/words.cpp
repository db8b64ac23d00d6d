// SPDX-License-Identifier: MIT
// Counts words in several threads, in C++: sections that end with their scope, also when it is left
// by an exception, events in templates and lambdas, and a keyed section that begins in one thread
// and ends in another.
//
//	make
//	tocsin record -o trace -- ./words 100
//
// Counts 100 texts and ends. With 0 it goes on until it is killed, a text a millisecond, and says
// which it has put into the queue.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <tocsin/tocsin.h>

template <class T> class Queue
{
      public:
	void put(T item)
	{
		std::lock_guard<std::mutex> lock(mutex_);
		items_.push_back(std::move(item));
		tocsin_event_level(TOCSIN_LEVEL_DEBUG, "words", "put",
				   TF_U64("waiting", items_.size()));
		changed_.notify_one();
	}

	T take()
	{
		std::unique_lock<std::mutex> lock(mutex_);
		changed_.wait(lock, [this] { return !items_.empty(); });
		T item = std::move(items_.front());
		items_.pop_front();
		return item;
	}

      private:
	std::mutex mutex_;
	std::condition_variable changed_;
	std::deque<T> items_;
};

struct Job {
	uint64_t number;
	std::string text;
};

static std::map<std::string, unsigned> count(const Job &job)
{
	tocsin_section("count", 10 * TOCSIN_MS);
	std::map<std::string, unsigned> found;
	std::string word;

	if (job.text.empty())
		throw std::invalid_argument("no text");
	for (char c : job.text + " ") {
		if (c != ' ')
			word += c;
		else if (!word.empty())
			found[std::exchange(word, "")]++;
	}
	tocsin_event("words", "counted", TF_U64("job", job.number),
		     TF_U64("different", found.size()));
	return found;
}

int main(int argc, char **argv)
{
	const unsigned long jobs = argc > 1 ? std::stoul(argv[1]) : 100;
	Queue<Job> queue;
	std::vector<std::thread> threads;

	for (int i = 0; i < 3; i++) {
		threads.emplace_back([&queue] {
			for (;;) {
				Job job = queue.take();

				if (job.number == UINT64_MAX)
					return;
				try {
					(void)count(job);
				} catch (const std::exception &fault) {
					tocsin_event_level(TOCSIN_LEVEL_ERROR, "words", "refused",
							   TF_U64("job", job.number),
							   TF_STR("why", fault.what()));
				}
				(void)tocsin_section_end_keyed("job", job.number);
			}
		});
	}
	for (unsigned long n = 0; n < jobs || !jobs; n++) {
		(void)tocsin_section_begin_keyed("job", n, TOCSIN_S);
		queue.put({n, n % 10 ? "the quick brown fox jumps over the lazy dog" : ""});
		if (!jobs) {
			std::printf("job %lu\n", n);
			std::fflush(stdout);
			std::this_thread::sleep_for(std::chrono::milliseconds(1));
		}
	}
	for (size_t i = 0; i < threads.size(); i++)
		queue.put({UINT64_MAX, ""});
	for (auto &thread : threads)
		thread.join();
	std::printf("%lu jobs\n", jobs);
	return 0;
}

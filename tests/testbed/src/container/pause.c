/* Holds the namespaces of a pod: waits until it is asked to end, and ends.
 *
 * The first process of a process namespace is sent only those signals that it handles or blocks, so the two are
 * blocked and waited for. It has no children: whoever shares the process namespace among a pod's containers leaves
 * zombies here, which go with the pod.
 */
#include <signal.h>
#include <stddef.h>

int main(void) {
	sigset_t end;
	int seen;

	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	return sigwait(&end, &seen);
}

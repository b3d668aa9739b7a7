import GuestMemory

public enum QueueError: Error { case todo }
public final class Queue: @unchecked Sendable {
}

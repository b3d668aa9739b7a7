/// Runs a validated configuration to its end.
public enum Launcher {
  /// Starts what `configuration` asks for and waits for its end. Marks `timeline` on the way.
  public static func run(_ configuration: Configuration, timeline: Timeline) -> Outcome {
    MinimalMachine.run(configuration, timeline: timeline)
  }
}
